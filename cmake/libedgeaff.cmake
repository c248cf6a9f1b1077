# libedgeaff: the C interface (csrc/include/edgeaff.h) as a shared and a static library that need nothing but libc and libm.
# make libedgeaff builds and installs it; both hide every symbol but edgeaff_*.
include(GNUInstallDirs)
file(STRINGS edgeaff/version.py edgeaff_version_line REGEX "__version__")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" EDGEAFF_VERSION "${edgeaff_version_line}")
set(EDGEAFF_ABI 1)

file(GLOB EDGEAFF_LIBRARY_SOURCES CONFIGURE_DEPENDS
  csrc/capi/*.cc csrc/core/*.cc csrc/nets/*.cc csrc/lld/*.cc csrc/vision/*.cc csrc/kernels/affect_step*.cc csrc/kernels/cpu_features.cc)
edgeaff_set_isa_flags(EDGEAFF_LIBRARY_SOURCES)
add_library(edgeaff_objects OBJECT ${EDGEAFF_LIBRARY_SOURCES})
target_include_directories(edgeaff_objects PUBLIC csrc/include csrc)
target_compile_definitions(edgeaff_objects PRIVATE EDGEAFF_VERSION="${EDGEAFF_VERSION}")
target_compile_options(edgeaff_objects PRIVATE -O3 -Wall -Wextra -fno-math-errno -ffp-contract=off -ffunction-sections -fdata-sections)

set(edgeaff_map ${CMAKE_CURRENT_SOURCE_DIR}/csrc/capi/edgeaff.map)
add_library(edgeaff_shared SHARED $<TARGET_OBJECTS:edgeaff_objects>)
set_target_properties(edgeaff_shared PROPERTIES
  OUTPUT_NAME edgeaff VERSION ${EDGEAFF_VERSION} SOVERSION ${EDGEAFF_ABI} LINKER_LANGUAGE CXX LINK_DEPENDS ${edgeaff_map})
target_link_options(edgeaff_shared PRIVATE -static-libstdc++ -static-libgcc
  -Wl,--version-script=${edgeaff_map} -Wl,--gc-sections -Wl,--exclude-libs,ALL -Wl,-z,relro,-z,now -Wl,--no-undefined)

# The static library is one object: linked with what it needs of the C++ runtime, and all but edgeaff_* made local, so that neither
# its operator new nor a second C++ runtime meets the program's.
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libstdc++.a OUTPUT_VARIABLE edgeaff_stdcxx OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libgcc_eh.a OUTPUT_VARIABLE edgeaff_gcc_eh OUTPUT_STRIP_TRAILING_WHITESPACE)
set(edgeaff_one ${CMAKE_BINARY_DIR}/edgeaff.o)
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/libedgeaff.a
  COMMAND ${CMAKE_CXX_COMPILER} -r -nostdlib -o ${edgeaff_one} $<TARGET_OBJECTS:edgeaff_objects> ${edgeaff_stdcxx} ${edgeaff_gcc_eh}
    -Wl,--gc-sections,--gc-keep-exported,--version-script=${edgeaff_map},--force-group-allocation
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=edgeaff_* ${edgeaff_one}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${CMAKE_BINARY_DIR}/libedgeaff.a
  COMMAND ${CMAKE_AR} rcs ${CMAKE_BINARY_DIR}/libedgeaff.a ${edgeaff_one}
  DEPENDS edgeaff_objects $<TARGET_OBJECTS:edgeaff_objects> ${edgeaff_map}
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(edgeaff_static ALL DEPENDS ${CMAKE_BINARY_DIR}/libedgeaff.a)

configure_file(cmake/package/edgeaff.pc.in edgeaff.pc @ONLY)
configure_file(cmake/package/edgeaff-config.cmake.in edgeaff-config.cmake @ONLY)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/edgeaff-config-version.cmake VERSION ${EDGEAFF_VERSION} COMPATIBILITY SameMajorVersion)
install(TARGETS edgeaff_shared LIBRARY DESTINATION lib)
install(FILES ${CMAKE_BINARY_DIR}/libedgeaff.a DESTINATION lib)
install(FILES csrc/include/edgeaff.h csrc/include/edgeaff.hpp DESTINATION include)
install(FILES ${CMAKE_BINARY_DIR}/edgeaff.pc DESTINATION lib/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/edgeaff-config.cmake ${CMAKE_BINARY_DIR}/edgeaff-config-version.cmake DESTINATION lib/cmake/edgeaff)
install(FILES edgeaff/assets/edge.eaff DESTINATION share/edgeaff)
