#!/usr/bin/env bash
#
# Every key that descriptions of families may have is in the tables of
# docs/families.md, every word that a value may be too, and the tables have no
# others.
#
# usage: families.sh LIST_KEYS
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
page=$root/docs/families.md

# shellcheck disable=SC2016 # these are not expansions
rows='s/^\| `([^`]+)` \|.*/\1/p'

known=$("$1")
[[ $known ]]
# Both stacks have the same keys, and so have self and cross.
diff -u --label 'keys that are known' --label 'keys in docs/families.md' \
    <(sed -nE 's/^key //p' <<<"$known" |
        sed -E 's/^stacks\.(encoder|decoder)/stacks.*/; s/^(stacks\.\*\.)cross\./\1self./' |
        sort -u) \
    <(sed -nE "$rows" "$page" | sort -u)
status=0
while read -r word; do
    grep -qF "\`\"$word\"\`" "$page" || {
        echo "docs/families.md does not name the word \"$word\""
        status=1
    }
done < <(sed -nE 's/^word //p' <<<"$known" | sort -u)
exit "$status"
