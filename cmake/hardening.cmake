# Hardening of everything that is compiled: stack protector, checked libc calls, read-only relocations that are all bound at load, and
# a stack that cannot be executed. tests/test_hardening.py reads them back from the built module. Sanitizers have their own checks,
# with which checked libc calls interfere.
set(EDGEAFF_HARDENING_FLAGS -fstack-protector-strong)
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  list(APPEND EDGEAFF_HARDENING_FLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${EDGEAFF_HARDENING_FLAGS}>")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  add_link_options(LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()
