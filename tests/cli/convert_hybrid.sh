gqa-convert --store --layer-groups 0=8,1=2 "$DATA/sample/t5-tiny16" hybrid.gqa
# Its bytes depend on the length of the path that the recipe names.
gqa-inspect hybrid.gqa | sed -E "/^Kind/s/\([0-9]+ bytes\)/(N bytes)/"
