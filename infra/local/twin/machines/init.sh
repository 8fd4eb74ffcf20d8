#!/bin/sh
# The first process of a machine, which then becomes systemd.
#
# By /sys/hypervisor/uuid cloud-init recognises an instance of EC2, and asks for a token before it asks for anything else.
# No hardware here has that file, and nothing can be made in the kernel's /sys: so it becomes a folder of folders.
# Source: Amazon EC2 User Guide, "Inspect the system UUID".
set -e
kernel=/mnt
if [ -d /sys/hypervisor ]; then
    mount -t tmpfs -o mode=755 tmpfs /sys/hypervisor
else
    mount --make-rprivate / # or the mounts below would follow each other
    mount --rbind /sys $kernel
    mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs /sys
    for folder in $kernel/*; do
        mkdir "/sys/${folder##*/}"
        mount --rbind "$folder" "/sys/${folder##*/}"
    done
    umount --lazy $kernel
    mount --make-rshared /
    mkdir /sys/hypervisor
fi
echo ec2 > /sys/hypervisor/uuid
mount -o remount,bind,ro /sys
# systemd-nspawn shows the controllers of version 1 read-only, and without them no limit of a unit would hold. They begin
# at the machine's own group; cpuset alone, which systemd does not use, is everybody's.
for tree in /sys/fs/cgroup/*; do
    if mountpoint -q "$tree" && [ "${tree##*/}" != cpuset ]; then
        mount -o remount,bind,rw "$tree"
    fi
done
exec /sbin/init
