#!/usr/bin/env bash
#
# Every key that descriptions of families may have is in the tables of
# docs/families.md once, every word that a value may be too, and the tables have
# no others; and its table of families is what the descriptions say.
#
# usage: families.sh [--update] LIST_KEYS LIST_FAMILIES
#
#   --update   write the table of families, and do nothing else
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
page=$root/docs/families.md

# shellcheck disable=SC2016 # these are not expansions
rows='s/^\| `([^`]+)` \|.*/\1/p'
first='<!-- families: made by tests/docs/families.sh --update -->'
last='<!-- end of families -->'

# The page with the rows of a program between the two marks.
with_families() {
    sed -n "1,\|^$first\$|p" "$page"
    echo '| model types | attention | layout | key of KV heads | grouped, for transformers |'
    echo '|---|---|---|---|---|'
    "$1" | LC_ALL=C sort -u
    sed -n "\|^$last\$|,\$p" "$page"
}

if [[ $1 == --update ]]; then
    with_families "$3" >"$page.new"
    mv "$page.new" "$page"
    exit
fi
diff -u --label docs/families.md --label 'what the descriptions say' "$page" \
    <(with_families "$2")

known=$("$1")
[[ $known ]]
# Both stacks have the same keys, and so have self and cross.
diff -u --label 'keys that are known' --label 'keys in docs/families.md' \
    <(sed -nE 's/^key //p' <<<"$known" |
        sed -E 's/^stacks\.(encoder|decoder)/stacks.*/; s/^(stacks\.\*\.)cross\./\1self./' |
        sort -u) \
    <(sed "\|^$first\$|,\|^$last\$|d" "$page" | sed -nE "$rows" | sort)
status=0
while read -r word; do
    grep -qF "\`\"$word\"\`" "$page" || {
        echo "docs/families.md does not name the word \"$word\""
        status=1
    }
done < <(sed -nE 's/^word //p' <<<"$known" | sort -u)
exit "$status"
