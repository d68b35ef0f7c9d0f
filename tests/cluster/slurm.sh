#!/usr/bin/env bash
# A throw-away Slurm cluster of three virtual nodes on one machine, without systemd or cgroups.
#
#     slurm.sh DIR PORT [accounting]     # PORT and the seven after it are free
#
# Says `ready` on standard output once every node is idle, then obeys lines of standard input: `stop DAEMON`,
# `start DAEMON`. When standard input ends, because the one who started it ended in any way, it stops all and removes
# DIR. Lines of DIR/more.conf are added to slurm.conf.
set -uo pipefail
dir="$1" port="$2" accounting="${3:-}"
export SLURM_CONF="${dir}/slurm.conf" LC_ALL=C
me="$(id -un)" host="$(hostname -s)"
declare -A pids

source "$(dirname "${BASH_SOURCE[0]}")/daemons.sh"
show_logs() { tail -n 5 "${dir}"/log/*; }

start() {
  local name="$1" command
  case "${name}" in
    munged) command=(munged --foreground --force --key-file="${dir}/munge/key" --socket="${dir}/munge/sock"
      --pid-file="${dir}/run/munged.pid" --log-file="${dir}/log/munged.log" --seed-file="${dir}/munge/seed") ;;
    mariadbd) command=(mariadbd --no-defaults --datadir="${dir}/mysql" --socket="${dir}/run/mysql.sock"
      --pid-file="${dir}/run/mysqld.pid" --user="${me}" --bind-address=127.0.0.1 --port=$((port + 5))
      --innodb-buffer-pool-size=32M --innodb-flush-log-at-trx-commit=0 --skip-grant-tables) ;;
    slurmd-*) command=(slurmd -D -N "${name#slurmd-}") ;;
    *) command=("${name}" -D) ;;
  esac
  # Daemons must not hold the pipe whose end is our signal.
  "${command[@]}" </dev/null >>"${dir}/log/${name}.out" 2>&1 &
  pids["${name}"]=$!
}

stop() {
  local pid="${pids[$1]:-}"
  [ -n "${pid}" ] || return 0
  kill "${pid}" 2>/dev/null
  (sleep 5 && kill -KILL "${pid}" 2>/dev/null) &
  local timer=$!
  wait "${pid}" 2>/dev/null
  kill "${timer}" 2>/dev/null
  unset "pids[$1]"
}

# Steps, programs of jobs, and heads of tests, wherever they put themselves. People have the same SLURM_CONF.
leftovers() { with_environment "SLURM_CONF=${SLURM_CONF}" SLURMD_NODENAME 'slurmstepd|orchestrate'; }

end() {
  end_daemons "${pids[@]}"
  if [ -e "${dir}/cgroup.conf" ]; then
    find /sys/fs/cgroup/*/slurm_n[123] -depth -type d -exec rmdir {} +
  fi
  rm -rf "${dir}"
  exit 0
}
# PIPE: the one who started it ended before it was ready.
trap end TERM INT HUP PIPE

mkdir -p "${dir}"/{state,log,run,dev,munge} "${dir}"/spool/n{1..3} || exit 1
chmod 755 "${dir}" "${dir}/munge"
(umask 077 && head -c 128 /dev/urandom >"${dir}/munge/key")
# GPUs that are no GPUs: each needs a path of its own.
for gpu in 0 1; do
  mknod "${dir}/dev/gpu${gpu}" c 1 3 2>/dev/null || ln -s /dev/null "${dir}/dev/gpu${gpu}"
done
storage=none
[ -z "${accounting}" ] || storage=slurmdbd

cat >"${SLURM_CONF}" <<CONF
ClusterName=tests
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${port}
SlurmUser=${me}
SlurmdUser=${me}
AuthType=auth/munge
AuthInfo=socket=${dir}/munge/sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=${dir}/state
SlurmdSpoolDir=${dir}/spool/%n
SlurmctldPidFile=${dir}/run/slurmctld.pid
SlurmdPidFile=${dir}/run/slurmd-%n.pid
SlurmctldLogFile=${dir}/log/slurmctld.log
SlurmdLogFile=${dir}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobCompType=jobcomp/filetxt
JobCompLoc=${dir}/log/ended.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=1,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=gpu
ReturnToService=1
AccountingStorageType=accounting_storage/${storage}
CONF
[ -z "${accounting}" ] || cat >>"${SLURM_CONF}" <<CONF
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 4))
AccountingStoragePass=${dir}/munge/sock
CONF
# A line given twice is an error, so a default stands back.
setting() { grep -sq "^${1%%=*}=" "${dir}/more.conf" || echo "$1" >>"${SLURM_CONF}"; }
setting TaskPlugin=task/none
setting KillWait=2
setting SlurmdTimeout=10
setting MinJobAge=3600
setting MaxArraySize=1001
if grep -sq '^TaskPlugin=task/cgroup' "${dir}/more.conf"; then
  printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup ConstrainRAMSpace=yes >"${dir}/cgroup.conf"
else
  # Without cgroups the step that is over its memory ends by Slurm's hand.
  echo JobAcctGatherParams=OverMemoryKill >>"${SLURM_CONF}"
fi
[ ! -e "${dir}/more.conf" ] || cat "${dir}/more.conf" >>"${SLURM_CONF}"
for node in 1 2 3; do
  gres=""
  ((node == 3)) || gres="Gres=gpu:2"
  echo "NodeName=n${node} NodeHostname=${host} NodeAddr=127.0.0.1 Port=$((port + node)) CPUs=8 RealMemory=16000 ${gres}"
  ((node == 3)) || echo "NodeName=n${node} Name=gpu File=${dir}/dev/gpu[0-1]" >>"${dir}/gres.conf"
done >>"${SLURM_CONF}"
cat >>"${SLURM_CONF}" <<CONF
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=gpu Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=other Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 LLN=YES
CONF

start munged
until_ok 10 munge -n --socket="${dir}/munge/sock" || end
if [ -n "${accounting}" ]; then
  mariadb-install-db --no-defaults --datadir="${dir}/mysql" --user="${me}" --auth-root-authentication-method=normal \
    --skip-test-db >"${dir}/log/install.log" 2>&1
  start mariadbd
  until_ok 60 mariadb --no-defaults -S "${dir}/run/mysql.sock" -e "create database if not exists slurm_acct_db" || end
  (umask 077 && cat >"${dir}/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=${dir}/munge/sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 4))
SlurmUser=${me}
PidFile=${dir}/run/slurmdbd.pid
LogFile=${dir}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 5))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
  )
  start slurmdbd
  until_ok 60 sacctmgr -i list cluster || end
  sacctmgr -i add cluster tests >/dev/null
  sacctmgr -i add account lab >/dev/null
  sacctmgr -i add user "${me}" account=lab >/dev/null
fi
start slurmctld
until_ok 30 scontrol ping || end
for node in 1 2 3; do start "slurmd-n${node}"; done
are_idle() { [ "$(sinfo -h -N -p cpu -t idle -o %N | sort -u | wc -l)" = 3 ]; }
until_ok 30 are_idle || end
echo ready

while read -r action name; do
  case "${action}" in
    start) start "${name}" ;;
    stop) stop "${name}" ;;
  esac
  echo "${action} ${name}"
done
end
