// Package ipxe writes the scripts that iPXE runs: the one that boots a node, and those that say why a machine cannot
// boot and try again. It is pure.
//
// The scripts use only commands that builds from 2015 on have, Debian's among them. No failure leaves a script: each
// command that can fail is followed by || and what to do instead, so that no machine ends at a prompt which nobody
// sees. iPXE splits a line at blanks before it expands ${settings}, knows no quotes, ends a command at the words
// ||, && and ;, and takes a word that begins with # for a comment (iPXE, core/exec.c). Whatever is put into a script
// is typed, or checked against those rules, or made harmless.
package ipxe
