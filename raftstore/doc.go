// Package raftstore holds a fleet.State that controllers agree on through Raft: changes are proposed to it, the state
// is read from memory, and whoever follows it is woken. DESIGN.md says why it is built as it is.
package raftstore
