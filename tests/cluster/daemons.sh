# Functions of the scripts that start throw-away daemons; they source it, and define `show_logs` and `leftovers`.

# Waits up to $1 seconds for a command to succeed.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "waited too long for: $*" >&2
      show_logs >&2
      return 1
    fi
    sleep 0.05
  done
}

# Lists processes with the line $1 in their environment that have a variable $2 or a name like $3.
with_environment() {
  local file
  grep -slzxF "$1" /proc/[0-9]*/environ | while read -r file; do
    if grep -sqz "^$2=" "${file}" || grep -sqxE "$3" "${file%environ}comm"; then
      cut -d/ -f3 <<<"${file}"
    fi
  done
}

# Ends some daemons, and then all that is left.
end_daemons() {
  trap "" TERM INT HUP PIPE
  exec >/dev/null 2>&1
  kill "$@"
  for _ in {1..40}; do
    [ -n "$(jobs -pr)" ] || break
    sleep 0.05
  done
  for _ in 1 2 3; do
    kill -KILL $(jobs -pr) $(leftovers)
  done
}
