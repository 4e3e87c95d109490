// Package origin decides what a controller uploads of a blob, to whom and in which order. Its aim is X = 1: the bytes
// of the blob leave once, whatever the number of peers, and the peers do the rest. It is a pure state machine;
// sockets, clocks and rate limits are its caller's.
//
// # Why not the obvious way
//
// A client that has everything and serves whoever asks was measured to upload a blob 1.9 to 5.5 times, whatever its
// settings, and to take two to four times the physical limit: peers ask it for the same pieces, since it has them
// all, and its uplink is spent on copies that they could have had from each other. Telling only a few peers of it
// helps (X 1.0 to 1.7) and is slower. Here it says that it has nothing, and shows one piece after another to one peer
// each: X 1.00 to 1.08 within 7 to 30 % of the limit, deaths included. Peers need not know; this is what BEP 16
// began, with a choice of who is shown what, and without its waiting for proof that a peer passes pieces on: that
// costs a round trip of the swarm for every piece, and guards against selfish peers, which machines of one cluster
// are not.
//
// # What is shown
//
//   - A piece without a known copy that is on its way to nobody is fresh. It is shown at once to a peer with room,
//     the lowest index first: so a blob arrives nearly in order, at no cost in time, and can be unpacked while it
//     comes. A piece whose last copy leaves, or which its only receiver lets go of, is fresh again.
//   - Racks take turns, then the peers of a rack: fewest outstanding pieces first, then who was served the longest
//     ago. So every rack soon holds something that the others want. Nothing is shown before Do is called, which makes
//     turns of what was told in one go.
//   - A peer has room while less than min(Window, an eighth of the blob shared by all peers that lack something) is
//     shown to it and not sent, and at least one piece. What is revealed early to a slow peer is held back from the
//     others: a window of 1 MiB was measured to give X 1.02, one of 8 MiB X 1.37. Two pieces are a window all the
//     same if the eighth allows it, or a peer would idle between the end of one and its requests of the next:
//     simulated, 20 % of a lone peer's time at 1 Gb/s with pieces of 1 MiB. One piece more is shown while one that
//     was sent whole is being verified.
//   - Until its first block has left, a peer's window is one piece: of peers that come at once, each has its first
//     before anybody has a second.
//   - Only shown pieces are served, each byte at most twice to a peer; other requests are rejected.
//
// # In which order it leaves
//
// What was asked for leaves a piece at a time, to 16 peers at once, who take turns with all others. Only a whole piece can
// be passed on: side by side, the first pieces of 64 peers are all whole when a 64th of the blob could have been
// everywhere. A piece during which four times 16 others could have left no longer counts among the 16, so that slow and
// frozen peers keep nobody waiting.
//
// # Who lets go
//
// A peer that neither asks for more of a piece it was shown nor says that it has it, for R, loses the piece to others.
// One that drags keeps it, but others are shown it too: it has had the piece for R and for four times the median, and
// was sent less than a quarter of what was its turn. Both are struck: they come after everybody else, have a window of
// one piece, and are never shown what was let go of before, so that a piece cannot go from one frozen machine to the
// next. One that says nothing at all since is shown nothing for 4 R. A struck peer is forgiven a strike for every piece
// that it fetches in time. If all are struck, the order is that of their strikes.
//
// Blocks that wait in the origin's own queue are not held against a peer before the origin has sent all that was asked
// for earlier: an origin with a limit or a slow disk must not take its own slowness for that of its peers, and send
// everything twice. Only when somebody starves is a piece that has been on its way for four times as long shown to
// others in any case.
//
// # Who is helped
//
// R is max(Starvation, four times the median time from showing a piece to its second copy), of the latest 64 pieces
// that were shown once; at most a minute unless Starvation is longer. R of 4 s was measured to cost X 1.3, 10 s and
// more 1.0 to 1.2. A piece progresses when a peer says HAVE or is sent some of it. What a peer says it has on arrival
// is no progress, or a liar could put off help by coming again and again. A newcomer makes all pieces wait anew, as
// it is at first fed by the others (X 1.46 without), but no piece waits for more than 4 R after its last progress.
//
//   - A peer starves that has got nothing from anybody for R and is pending with nothing. Then pieces that made no
//     progress for R may be shown once more, to those that starve. A lying HAVE so costs R, once for all pieces
//     together. A slow peer that progresses does not starve, though each piece it lacks makes no progress for long:
//     nobody is fed twice because of it.
//   - A piece that stays for R with the only peer that has it, while three quarters of the others have spread and new
//     ones were shown until lately, may be shown once more to anybody: its owner froze or has no uplink, and waiting
//     until the others run out of pieces would add R to everybody's boot.
//   - A peer that starves and has got nothing but from the origin for 4 R is shown all that it lacks: nobody else can
//     reach it.
//
// # Several origins
//
// With Share, an origin shows only pieces whose index modulo the live origins is its own. Another's pieces are shown
// to who starves, so that a death which nobody noticed costs R; Share after a noticed one costs nothing.
//
// # Complete peers
//
// Peers that have everything are released 5 s after, while others want their places, but for eight: who releases all
// of them forgets that the blob is out there, and sends it again.
//
// # Cost
//
// An event costs well under a microsecond with thousands of peers: counters per piece, a bit per piece and peer (two,
// with what it was shown), heaps of racks and of peers with room. Joining, leaving, Share, Tick (at most twenty times
// in Starvation) and Stats look at every piece or peer, never at every pair.
package origin
