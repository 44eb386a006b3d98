gqa-convert --store --layer-groups 0=8,1=2 "$DATA/sample/t5-tiny16" hybrid.gqa
gqa-inspect hybrid.gqa
