package simulate

// pieceLength is seeder.PieceLength, which a test holds it to: the agent's package is too large for this one.
func pieceLength(size int64) int64 {
	const mib, gib = 1 << 20, 1 << 30
	switch {
	case size <= gib/2:
		return mib / 4
	case size < gib:
		return mib / 2
	case size <= 2*gib:
		return mib
	case size < 8*gib:
		return 2 * mib
	default:
		return 4 * mib
	}
}
