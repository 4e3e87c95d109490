// Package seeder moves blobs over BitTorrent: it makes their metainfo, seeds them, fetches them, chooses who is told
// of whom, and accounts for the bytes. The BitTorrent library behind it is hidden entirely behind the types declared here.
package seeder
