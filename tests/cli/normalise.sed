# Times and rates
s/^time +[0-9.]+ s, [0-9.]+ GB\/s$/time        TIME/
s/("elapsed_s": )[0-9.e-]+/\1TIME/
s/^time: [0-9.]+ s$/time: TIME/
s/("seconds": )[0-9.e-]+/\1TIME/
s/( time=")[0-9.]+"/\1TIME"/
s/(: time: [^:]*: ).*/\1TIME/
# Compressed sizes, which depend on the version of zstd
s/-> [0-9.]+ [KMG]?i?B \(([^)]* uncompressed)\)/-> SIZE (\1)/
s/^(Kind +\.gqa, ).* bytes\), /\1SIZE, /
# What ran where
s/^((backend|device|libraries|software) +).*/\1HERE/
s/^(# (backend|device|libraries|software): ).*/\1HERE/
s/("(backend|device|libraries|software)": ").*"/\1HERE"/
s/(name="libraries" value=").*"/\1HERE"/
