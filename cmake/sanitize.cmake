# Under sanitizers (-fsanitize in CMAKE_CXX_FLAGS) the core is compiled with -O1, and the tiles of the convolutions without three checks.
# Their thousands of unrolled steps, each with a dozen inlined calls, otherwise take the compiler more than five minutes in one file. What
# remains finds the same errors there: the address sanitizer sees each access that these checks would have seen one step earlier.
set(EDGEAFF_OPTIMIZE -O3)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  set(EDGEAFF_OPTIMIZE -O1)
endif()

function(edgeaff_ease_sanitizers list_name)
  if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=[a-z,]*undefined")
    return()
  endif()
  set(tiles ${${list_name}})
  list(FILTER tiles INCLUDE REGEX "/convolve_(avx|neon)[a-z0-9]*\\.cc$")
  foreach(source IN LISTS tiles)
    set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS
      -fno-sanitize=pointer-overflow,object-size,null -fno-sanitize-address-use-after-scope)
  endforeach()
endfunction()
