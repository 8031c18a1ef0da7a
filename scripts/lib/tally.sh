# shellcheck shell=bash
# Runs checks and tests and counts how they end. Sourced; an interruption then ends all of it, not only what runs just then.

trap 'exit 130' INT
trap 'exit 143' TERM

passed=0
failed=0
skipped=0
# Names of what failed, a line each: a log is often read from its end, and may be cut.
failures=
# The test files of which something failed, "FAILED FILE" a line; and what failed at first only.
failed_files=
second_try=
# More files than these are no accident.
most_second_tries=3

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

# bun_tests SECONDS-PER-TEST SECONDS-IN-ALL PATH...: becomes bun test, for no longer than that; of a pipeline or in the
# background. Bun writes its lines in another way where it is told to colour them, and for GitHub: here they are read.
bun_tests() {
  local each=$1 all=$2
  shift 2
  # In the foreground, for a process group of its own would hear of no Ctrl-C.
  exec timeout --foreground --kill-after=20 "$all" env -u FORCE_COLOR -u GITHUB_ACTIONS NO_COLOR=1 \
    bun test --timeout "$((each * 1000))" "$@" 2>&1
}

# run_tests NAME SECONDS-PER-TEST SECONDS-IN-ALL PATH...: bun test over these paths; none is no failure.
run_tests() {
  local name=$1 each=$2 all=$3 log
  shift 3
  (($# == 0)) && return
  echo "running: $name"
  log=$(mktemp)
  # What bun says last, when it is interrupted, is to be read too.
  bun_tests "$each" "$all" "$@" | tee -i "$log"
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
  bun_tests "$each" "$beside_all" "$@" >"$beside_log" &
  beside_pid=$!
  # No Ctrl-C reaches what runs in the background.
  trap 'kill "$beside_pid" 2>/dev/null; wait "$beside_pid"' EXIT
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
  # Bun counts the hooks of a skipped suite as skipped tests without a name, and says of a long log again what was skipped.
  hooks=$(sed -E '/^[0-9]+ tests? skipped:$/,$d' "$log" | grep -cE '^\(skip\) .*\(unnamed\)( \[[0-9.]+m?s\])?$')
  passed=$((passed + $(summed "$log" pass)))
  skipped=$((skipped + $(summed "$log" skip) - hooks + $(summed "$log" todo)))
  add_lines failures "$(names_of_failed "$log")"
  # A run that was cut off, crashed or could not load a file has failed, whatever its tests said.
  if ((status != 0 && fails == 0)); then
    fails=1
    if ((status == 124 || status == 137)); then
      echo "failed: $name: not done after $all seconds"
    else
      echo "failed: $name: something went wrong outside of the tests, see above (bun test exited with $status)"
    fi
    add_lines failures "$name: cut off, or wrong outside of the tests"
  else
    add_lines failed_files "$(files_of_failed "$log")"
  fi
  failed=$((failed + fails))
  rm -f "$log"
}

# try_again SECONDS-PER-TEST SECONDS-EACH: the few files of which something failed once more, each alone. Whole systems
# wait for one another, and a machine that is shared can make them wait for longer than their tests do. What passes then is
# counted as passed, and said to have needed it; what fails again has failed.
try_again() {
  local each=$1 all=$2 files fails file log
  mapfile -t files < <(awk NF <<<"$failed_files")
  ((${#files[@]} > 0 && ${#files[@]} <= most_second_tries)) || return 0
  for file in "${files[@]}"; do
    fails=${file%% *} file=${file#* }
    echo "once more, alone: $file"
    log=$(mktemp)
    bun_tests "$each" "$all" "$file" | tee -i "$log"
    if ((PIPESTATUS[0] == 0)); then
      failed=$((failed - fails)) passed=$((passed + fails))
      add_lines second_try "$file"
    fi
    rm -f "$log"
  done
  # What is left failed twice.
  ((failed > 0)) || failures=
}

# add_lines VARIABLE TEXT: TEXT as lines at the end of it; nothing when there is none.
add_lines() {
  [[ -z $2 ]] || printf -v "$1" '%s%s\n' "${!1}" "$2"
}

names_of_failed() {
  sed -nE 's/^\(fail\) (.*) \[[0-9.]+m?s\]$/\1/p' "$1" | sort -u
}

# How many tests failed of each file, from bun's log, where a file's name stands above its tests. After all files a long
# log has the failures once more.
files_of_failed() {
  awk '/^[^ ]+\.test\.ts:$/ { file = substr($0, 1, length($0) - 1) }
    /^[0-9]+ tests? failed:$/ { file = "" }
    /^\(fail\) / && file { fails[file]++ }
    END { for (file in fails) print fails[file], file }' "$1" | sort -k 2
}

# The number before WORD in bun's summary, " 12 pass"; 0 when there is none.
summed() {
  sed -nE "s/^ ([0-9]+) $2\$/\1/p" "$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

tally_report() {
  [[ -z $failures ]] || printf 'what failed:\n%s' "$failures"
  [[ -z $second_try ]] || printf 'what failed at first, and passed alone:\n%s' "$second_try"
  echo "$passed passed, $failed failed, $skipped skipped"
  ((failed == 0 && passed > 0))
}
