package api

// The query parameters of a backup and of a removal, each with the value "1".
const (
	blobsParam = "blobs" // the backup holds blobs too
	forceParam = "force" // the controller goes, whatever that costs
)
