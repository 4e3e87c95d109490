package netboot

import "sync/atomic"

// Counters count since Open.
type Counters struct {
	Requests       uint64 `json:"requests"`              // datagrams on both DHCP ports
	Answers        uint64 `json:"answers"`               // DHCP replies sent
	StoodIn        uint64 `json:"stood_in"`              // of these, sent because no controller before this one seemed to
	StoodDown      uint64 `json:"stood_down"`            // replies not sent because another controller's was taken
	Malformed      uint64 `json:"malformed"`             // dropped: no DHCP request of an Ethernet machine
	Unknown        uint64 `json:"unknown"`               // dropped: no node has the MAC
	Declined       uint64 `json:"declined"`              // dropped: a node that cannot be served; the log says why
	Duplicates     uint64 `json:"duplicates"`            // dropped: copies of answered requests
	Limited        uint64 `json:"rate_limited"`          // dropped: more requests of one machine than a boot needs
	Dropped        uint64 `json:"dropped"`               // dropped: more requests at once than the queue holds
	SendErrors     uint64 `json:"send_errors"`           // DHCP replies that the kernel did not take
	TFTP           uint64 `json:"tftp"`                  // files sent completely
	TFTPFailed     uint64 `json:"tftp_failed"`           // transfers that ended early, probes for a file's size among them
	HTTP           uint64 `json:"http"`                  // requests
	HTTPFailed     uint64 `json:"http_failed"`           // answered with an error, or cut off by one
	Advertisements uint64 `json:"router_advertisements"` // sent to iPXE, to end its wait for IPv6
	HeldFiles      uint64 `json:"held_files"`            // kernels and initramfs in memory now
	HeldBytes      uint64 `json:"held_bytes"`            // of those
}

type counters struct {
	requests, answers, stoodIn, stoodDown, malformed, unknown, declined, duplicates, limited, dropped, sendErrors atomic.Uint64
	tftp, tftpFailed, http, httpFailed, advertisements                                                            atomic.Uint64
}

// Counters returns the counts. It may be called from any goroutine.
func (s *Server) Counters() Counters {
	c := &s.counters
	files, bytes := s.shelf.holds()
	return Counters{
		HeldFiles: uint64(files), HeldBytes: uint64(bytes),
		Requests: c.requests.Load(), Answers: c.answers.Load(),
		StoodIn: c.stoodIn.Load(), StoodDown: c.stoodDown.Load(), Malformed: c.malformed.Load(), Unknown: c.unknown.Load(),
		Declined: c.declined.Load(), Duplicates: c.duplicates.Load(), Limited: c.limited.Load(), Dropped: c.dropped.Load(),
		SendErrors: c.sendErrors.Load(), TFTP: c.tftp.Load(), TFTPFailed: c.tftpFailed.Load(),
		HTTP: c.http.Load(), HTTPFailed: c.httpFailed.Load(), Advertisements: c.advertisements.Load(),
	}
}
