# shellcheck shell=bash
# Which test files are meant. Sourced; all paths are told as ./PATH, from the current folder.

# tests_in PATH...: the test files in these files and folders, a line each.
tests_in() {
  find "$@" -name node_modules -prune -o -name '*.test.ts' -print 2>/dev/null | sed -E 's#^(\./)*#./#' | sort
}

# tests_meant FOLDER PATH...: the test files in these files and folders, as somebody calls them who is in FOLDER. Fails with
# a sentence where there are none.
tests_meant() {
  local folder=$1 word path files
  shift
  for word in "$@"; do
    path=$(realpath --no-symlinks --relative-to=. "$([[ $word == /* ]] || echo "$folder/")$word")
    if [[ $path == ..* || ! -e $path ]]; then
      echo "no file or folder \"$word\" with tests of this tree" >&2
      return 1
    fi
    files=$(tests_in "./$path")
    if [[ -z $files ]]; then
      echo "no tests in \"$word\": their names end in .test.ts" >&2
      return 1
    fi
    echo "$files"
  done | sort -u
  return "${PIPESTATUS[0]}"
}
