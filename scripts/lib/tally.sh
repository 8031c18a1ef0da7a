# shellcheck shell=bash
# Runs checks and tests and counts how they end. Sourced.

passed=0
failed=0
skipped=0
# Names of what failed, a line each: a log is often read from its end, and may be cut.
failures=

# check NAME COMMAND...: one check, which passes when the command exits 0. Its output is shown when it fails.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
    echo "passed: $name"
  else
    failed=$((failed + 1))
    echo "$output"
    echo "failed: $name"
    failures+="$name"$'\n'
  fi
}

# skip NAME REASON
skip() {
  skipped=$((skipped + 1))
  echo "skipped: $1: $2"
}

# run_tests NAME SECONDS-PER-TEST SECONDS-IN-ALL PATH...: bun test over these paths; none is no failure.
run_tests() {
  local name=$1 each=$2 all=$3 log
  shift 3
  (($# == 0)) && return
  echo "running: $name"
  log=$(mktemp)
  timeout --kill-after=20 "$all" bun test --timeout "$((each * 1000))" "$@" 2>&1 | tee "$log"
  count_tests "$name" "$all" "${PIPESTATUS[0]}" "$log"
}

# The tests that run beside others: what they are, how long they may take, their process and where they write.
beside_name=
beside_all=0
beside_pid=0
beside_log=

# run_tests_beside NAME SECONDS-PER-TEST SECONDS-IN-ALL PATH...: begins them; for tests that mostly wait. One set at a time.
run_tests_beside() {
  local each=$2
  beside_name=$1 beside_all=$3 beside_log=$(mktemp)
  shift 3
  echo "running beside what follows: $beside_name"
  timeout --kill-after=20 "$beside_all" bun test --timeout "$((each * 1000))" "$@" >"$beside_log" 2>&1 &
  beside_pid=$!
  # They have a process group of their own, which no Ctrl-C reaches.
  trap 'kill "$beside_pid" 2>/dev/null' EXIT
}

# wait_for_tests_beside: shows and counts what run_tests_beside began.
wait_for_tests_beside() {
  local status
  wait "$beside_pid"
  status=$?
  trap - EXIT
  echo "ran beside: $beside_name"
  cat "$beside_log"
  count_tests "$beside_name" "$beside_all" "$status" "$beside_log"
}

# count_tests NAME SECONDS-IN-ALL STATUS LOG: adds to the tally what bun test said there, and removes the log.
count_tests() {
  local name=$1 all=$2 status=$3 log=$4 fails hooks
  fails=$(summed "$log" fail)
  # Bun counts the hooks of a skipped suite as skipped tests without a name.
  hooks=$(grep -cE '^\(skip\) .*\(unnamed\)$' "$log")
  passed=$((passed + $(summed "$log" pass)))
  skipped=$((skipped + $(summed "$log" skip) - hooks + $(summed "$log" todo)))
  failures+=$(sed -nE 's/^\(fail\) (.*) \[[0-9.]+m?s\]$/\1/p' "$log" | sort -u)
  [[ -z $failures || $failures == *$'\n' ]] || failures+=$'\n'
  # A run that was cut off, crashed or could not load a file has failed, whatever its tests said.
  if ((status != 0 && fails == 0)); then
    fails=1
    if ((status == 124 || status == 137)); then
      echo "failed: $name: not done after $all seconds"
    else
      echo "failed: $name: something went wrong outside of the tests, see above (bun test exited with $status)"
    fi
    failures+="$name: cut off, or wrong outside of the tests"$'\n'
  fi
  failed=$((failed + fails))
  rm -f "$log"
}

# The number before WORD in bun's summary, " 12 pass"; 0 when there is none.
summed() {
  sed -nE "s/^ ([0-9]+) $2\$/\1/p" "$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

tally_report() {
  [[ -z $failures ]] || printf 'what failed:\n%s' "$failures"
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0 && passed > 0))
}
