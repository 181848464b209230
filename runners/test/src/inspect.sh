# Looks at the files of an installed package, whose paths are in the file $1. Prints one line for each
# problem: the case, a tab, what is wrong. Needs bash, coreutils, grep and sed of the root.
export LC_ALL=C
most=20
files=0
libraries=0

tell_files() { files=$((files + 1)); if ((files <= most)); then printf 'files\t%s\n' "$1"; fi; }
tell_libraries() { libraries=$((libraries + 1)); if ((libraries <= most)); then printf 'libraries\t%s\n' "$1"; fi; }

elf() {
  local magic=
  IFS= read -r -N 4 magic <"$1" 2>/dev/null
  [[ $magic == $'\x7fELF' ]]
}

# A small root may have the loader without the script around it.
needs() {
  local loader
  if command -v ldd >/dev/null; then
    ldd "$1" 2>&1
    return
  fi
  for loader in /lib64/ld-linux*.so.* /lib/ld-linux*.so.*; do
    if [[ -x $loader ]]; then
      # What ldd does.
      LD_TRACE_LOADED_OBJECTS=1 "$loader" "$1" 2>&1
      return
    fi
  done
}

# A plugin may leave a library of its own package to the program that loads it; a program may not.
excused() {
  case $1 in
    */bin/* | */sbin/* | */games/* | */libexec/*) return 1 ;;
  esac
  grep -q -F -x -e "${1%/*}/$2" "$list" || grep -q -E -e "/$(printf '%s' "$2" | sed 's/[][\.*^$+?(){}|]/\\&/g')\$" "$list"
}

linked() {
  local line name
  while IFS= read -r line; do
    case $line in
      *'not found'*) ;;
      *) continue ;;
    esac
    line=${line#"${line%%[![:space:]]*}"}
    name=${line%% *}
    if [[ $line == *' => not found'* ]] && excused "$1" "$name"; then continue; fi
    tell_libraries "$1 needs $line"
  done < <(needs "$1")
}

list=$1
while IFS= read -r path; do
  if [[ -L $path ]]; then
    if [[ ! -e $path ]]; then tell_files "$path is a link to $(readlink -- "$path"), which does not exist"; fi
  elif [[ ! -e $path ]]; then
    tell_files "$path is not there"
  elif [[ -f $path && $path != /usr/lib/debug/* ]] && elf "$path"; then
    linked "$path"
  fi
done <"$list"
exit 0
