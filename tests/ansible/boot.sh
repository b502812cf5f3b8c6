#!/bin/sh
# boot.sh NAME BASE FOLDER: a Debian with systemd as process 1, its files laid over BASE in FOLDER.
# Runs in namespaces of its own (machines.py): mounts and processes end with them.
set -eu
name=$1 base=$2 folder=$3
mkdir -p "$folder/changes" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/changes,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
# The second version alone: process 1 takes it whatever else the kernel has mounted.
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
echo "$name" > etc/hostname
hostname "$name"
mkdir -p outside
pivot_root . outside
umount -l /outside
# As systemd-nspawn has it: a service's credentials are mounted by a child of process 1.
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target
