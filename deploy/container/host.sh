#!/bin/sh
# Gives the container of a host what boxes need and a container lacks, then becomes the command `pilot`.
# Each step needs CAP_SYS_ADMIN and is left out without it: the host then starts all the same, and says what is missing.

# 1. The kernel lets a box mount a /proc of its own only where a whole one is to be seen; the container's has covered parts.
mkdir -p -m 700 /run/pilot-proc && mount -t proc -o nosuid,nodev,noexec proc /run/pilot-proc 2>/dev/null \
  && mount --bind /run/pilot-proc/sys/net /proc/sys/net # a box with a network switches version 6 off in its own namespace

# 2. Control groups are mounted read-only. Those below the container's own become writable; its own limits hold for all of them.
writable() { mount -o remount,bind,rw "$1" 2>/dev/null || mount -o remount,rw "$1" 2>/dev/null; }
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  # Version 2 has processes in leaves only: whoever is here moves into one first.
  if writable /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/agent; then
    while read -r pid; do echo "$pid" > /sys/fs/cgroup/agent/cgroup.procs; done < /sys/fs/cgroup/cgroup.procs 2>/dev/null
  fi
else
  for controller in memory pids freezer cpu cpuacct; do writable "/sys/fs/cgroup/$controller"; done
fi

# 3. The device behind a box with a network. What may be done with it is decided by the namespace, not by the file.
[ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200; } 2>/dev/null

exec pilot "$@"
