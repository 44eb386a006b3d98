# Figures of rounding alone, which differ from one machine to the next; what
# they are held against stays. A test whose output has some names this file.
s/(relative L2|NMSE) [0-9][-+0-9.e]*/\1 ROUNDING/
s/("(relative_l2|nmse)": )[0-9][-+0-9.e]*/\1ROUNDING/
