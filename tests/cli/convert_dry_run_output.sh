# --dry-run refuses the outputs that a conversion would refuse.
try() { gqa-convert -q --dry-run -g 4 "$@"; echo "exit $?"; }
source=$DATA/sample/t5-tiny16
echo old >old.gqa
mkdir theirs empty
echo mine >theirs/notes.txt
try "$source" old.gqa
try --force "$source" old.gqa
try "$source" theirs
try --force "$source" theirs
try "$source" empty
try "$source" missing/new.gqa
try "$source" missing/new/
try "$source" new/
try "$source" new
ls -A . empty
cat old.gqa
