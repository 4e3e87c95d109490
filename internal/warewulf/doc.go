// Package warewulf reads the configuration of a Warewulf 4 site, of any release from 4.2 to 4.7, and says it in this
// product's terms: documents to apply, images to import, overlays, and a report of what was taken, what was put right and
// what was left. It reads; it changes nothing, and what it returns depends on the files alone.
//
// Two smaller forms are read likewise: a hosts file and a table of comma-separated values.
package warewulf
