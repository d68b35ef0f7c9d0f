#!/usr/bin/env bash
# A throw-away Grid Engine of one node with four slots, from Debian's packages, without systemd.
#
#     gridengine.sh DIR PORT     # PORT and the one after it are free; needs root
#
# Says `ready` once the node takes jobs. When standard input ends, it stops all and removes DIR.
set -uo pipefail
dir="$1" port="$2"
export SGE_ROOT="${dir}" SGE_CELL=default SGE_QMASTER_PORT="${port}" SGE_EXECD_PORT=$((port + 1)) SGE_ND=1
common="${dir}/default/common" programs=/usr/lib/gridengine
host="$(hostname)"
daemons=()

source "$(dirname "${BASH_SOURCE[0]}")/daemons.sh"
show_logs() { tail -n 5 "${dir}"/*.out; }

# Programs of jobs, and heads of tests, wherever they put themselves. People have the same SGE_ROOT.
leftovers() { with_environment "SGE_ROOT=${dir}" SGE_TASK_ID orchestrate; }

end() {
  end_daemons "${daemons[@]}"
  rm -rf "${dir}"
  exit 0
}
# PIPE: the one who started it ended before it was ready.
trap end TERM INT HUP PIPE

mkdir -p "${common}" "${dir}"/spool/{qmaster/job_scripts,database,execd} || exit 1
for part in bin lib util utilbin; do ln -s "/var/lib/gridengine/${part}" "${dir}/${part}"; done
echo "${host}" >"${common}/act_qmaster"
# The address of a machine without a network is that of localhost.
echo "${host} localhost" >"${common}/host_aliases"
cat >"${common}/bootstrap" <<CONF
admin_user none
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params ${dir}/spool/database
binary_path /usr/sbin
qmaster_spool_dir ${dir}/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
CONF
sed -e "s#^execd_spool_dir .*#execd_spool_dir ${dir}/spool/execd#" -e 's/^\(min_[ug]id\) .*/\1 0/' \
  -e 's/^load_report_time .*/load_report_time 00:00:02/' -e 's/^administrator_mail .*/administrator_mail none/' \
  /usr/share/gridengine/default-configuration >"${dir}/configuration"
{
  "${programs}/spoolinit" berkeleydb libspoolb "${dir}/spool/database" init
  "${programs}/spooldefaults" configuration "${dir}/configuration"
  "${programs}/spooldefaults" complexes /usr/share/gridengine/util/resources/centry
  "${programs}/spooldefaults" usersets /usr/share/gridengine/util/resources/usersets
  "${programs}/spooldefaults" managers "$(id -un)"
  sge_qmaster </dev/null &
  daemons+=($!)
} >"${dir}/qmaster.out" 2>&1
until_ok 20 qconf -sh || end

# Every limit of the queue is INFINITY, and every list is empty.
{
  printf '%s\n' "qname all.q" "hostlist ${host}" "slots 4" "pe_list smp" "shell /bin/sh" "tmpdir /tmp" "seq_no 0" \
    "qtype BATCH" "shell_start_mode unix_behavior" "initial_state default" "rerun FALSE" "priority 0" "nsuspend 1" \
    "processors UNDEFINED" "suspend_interval 00:05:00" "min_cpu_interval 00:05:00" "notify 00:00:60"
  for list in load_thresholds suspend_thresholds ckpt_list prolog epilog starter_method suspend_method resume_method \
    terminate_method owner_list user_lists xuser_lists subordinate_list complex_values projects xprojects calendar; do
    echo "${list} NONE"
  done
  for limit in rt cpu fsize data stack core rss vmem; do printf '%s INFINITY\n' "s_${limit}" "h_${limit}"; done
} >"${dir}/queue"
{
  echo "hostname ${host}"
  for list in load_scaling complex_values user_lists xuser_lists projects xprojects usage_scaling report_variables; do
    echo "${list} NONE"
  done
} >"${dir}/host"
{
  qconf -as "${host}"
  qconf -Ae "${dir}/host"
  qconf -Ap /usr/share/gridengine/util/resources/pe/smp
  qconf -Aq "${dir}/queue"
  qconf -ssconf | sed -e 's/^schedule_interval .*/schedule_interval 0:0:1/' -e 's/^\(flush_[a-z]*_sec\) .*/\1 1/' \
    >"${dir}/scheduler"
  qconf -Msconf "${dir}/scheduler"
  sge_execd </dev/null &
  daemons+=($!)
} >"${dir}/execd.out" 2>&1
takes_jobs() { qstat -f | grep -q 'all.q.* lx-[a-z0-9]* *$'; }
until_ok 20 takes_jobs || end
echo ready
cat >/dev/null
end
