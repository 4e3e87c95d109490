package bootagent

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
)

// rescue gives the person at the console a shell, and returns when it ends.
func rescue(ctx context.Context, log *slog.Logger) {
	if _, err := os.Stat(shellPath); err != nil {
		log.Error("samara.rescue asks for a shell, but the initramfs has none: install busybox-static on the controller and import the image again", "err", err)
		_ = sleep(ctx, stepRetry.Cap)
		return
	}
	console, err := os.OpenFile("/dev/console", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		log.Error("rescue shell", "err", err)
		_ = sleep(ctx, stepRetry.Cap)
		return
	}
	defer console.Close()
	shell := exec.CommandContext(ctx, shellPath, "sh", "-i")
	shell.Stdin, shell.Stdout, shell.Stderr = console, console, console
	shell.Env = []string{"HOME=/", "TERM=linux", "PATH=/bin:/sbin:/usr/bin:/usr/sbin", "PS1=samara-rescue# "}
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := shell.Run(); err != nil {
		log.Info("rescue shell left", "err", err)
	}
}
