# Finishes a Debian root filesystem; $1 is where it lies. An image holds no secrets and nothing of the machine it was
# made on: every node gets its own.
set -eu
cd "$1"

rm -f etc/ssh/ssh_host_* var/lib/dbus/machine-id etc/resolv.conf
: >etc/machine-id
: >etc/resolv.conf
echo localhost >etc/hostname
grep -q '^root:[*!]' etc/shadow || { echo "root has a password" >&2; exit 1; }

# Every boot of every node makes a host key. Ed25519 alone: an RSA key takes an emulated processor many seconds.
echo 'HostKey /etc/ssh/ssh_host_ed25519_key' >etc/ssh/sshd_config.d/hostkey.conf
mkdir -p etc/systemd/system/ssh.service.d
cat >etc/systemd/system/ssh.service.d/hostkey.conf <<'UNIT'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
ExecStartPre=/usr/sbin/sshd -t
UNIT

# Nothing to upgrade, trim or scrub in a root that lives in RAM.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
	ln -sf /dev/null etc/systemd/system/$unit
done
rm -rf var/log/journal # else the journal is kept twice: in /run and, with access lists that squashfs has not, here
rm -rf var/lib/apt/lists/* var/cache/apt/* var/cache/debconf/*-old var/log/apt var/log/dpkg.log var/log/alternatives.log
