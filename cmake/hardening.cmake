# What makes a fault in a parser harder to use: for all that is built here.
# tests/docs/hardened.sh looks for it in what is installed.
include(CheckCCompilerFlag)

# Each function with a buffer has a canary; large frames touch each page.
foreach(flag -fstack-protector-strong -fstack-clash-protection)
    string(MAKE_C_IDENTIFIER "GQA_HAS${flag}" has)
    check_c_compiler_flag(${flag} ${has})
    if(${has})
        target_compile_options(gqa_build INTERFACE ${flag})
    endif()
endforeach()

# Indirect jumps land where they may, and returns go back (CET).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    target_compile_options(gqa_build INTERFACE -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    target_compile_options(gqa_build INTERFACE -mbranch-protection=standard)
endif()

# Needs an optimiser, and sanitizers do its work better. Some compilers
# define it by themselves, lower.
if(NOT GQA_SANITIZE)
    target_compile_options(gqa_build INTERFACE
        $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>)
endif()

# Programs lie at another address each time.
set(type $<TARGET_PROPERTY:TYPE>)
target_compile_options(gqa_build INTERFACE
    $<$<IN_LIST:${type},EXECUTABLE;STATIC_LIBRARY;OBJECT_LIBRARY>:-fPIE>)
target_link_options(gqa_build INTERFACE
    $<$<STREQUAL:${type},EXECUTABLE>:-pie>)

# What the loader writes is read-only afterwards, and no stack holds code.
set(GQA_HARDENED_LINK -Wl,-z,relro,-z,now,-z,noexecstack)
target_link_options(gqa_build INTERFACE ${GQA_HARDENED_LINK})
