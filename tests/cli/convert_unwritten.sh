# Tensors that an HDF5 file names but nobody wrote, or not wholly: named, and
# counted in the summary.
gqa-convert -g 1 --json "$DATA/good/flat-late" out.safetensors |
    grep n_unwritten
gqa-convert -g 1 --json --strict "$DATA/good/flat-gzip" gzip.safetensors |
    grep n_unwritten
