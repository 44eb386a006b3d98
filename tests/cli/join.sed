# A line of gqa-verify's report again whole: where it is broken depends on the
# lengths of figures and paths.
/^(plan|software|data|original|converted|file|weights|runtime|fidelity) /{
    :join
    $!{
        N
        s/\n {12,}/ /
        t join
        P
        D
    }
}
# And a path of gqa-inspect's.
/^(Checkpoint|Configuration) /{
    :path
    $!{
        N
        s/\n {17}//
        t path
        P
        D
    }
}
