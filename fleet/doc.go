// Package fleet holds the nouns of a cluster and the rules between them: nodes and the profiles that they share, images,
// networks, the commands that change them, what they were before, and the boot plan that follows from them. It is pure:
// no I/O, clock, randomness, goroutine or logger. Every replica that applies the same entries in the same order holds the
// same State.
package fleet
