package lab

import (
	"os/exec"
	"testing"
)

func TestEndLeavesAnotherProcessWithTheNumberAlone(t *testing.T) {
	c := exec.Command("sleep", "600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	pid, err := FindPID(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	earlier := pid
	earlier.Start--
	if err := earlier.End(patience); err != nil {
		t.Fatal(err)
	}
	if !pid.Alive() {
		t.Error("ended a process that only has the number of the one recorded")
	}
}
