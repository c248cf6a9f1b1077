# The TensorRT plugin as its own library, where CUDA is built and NvInferRuntime.h is found (JetPack, the TensorRT packages of
# NVIDIA's repository, or TENSORRT_ROOT of an unpacked archive). Nothing else needs those headers.
set(EDGEAFF_TENSORRT "AUTO" CACHE STRING "Build the C++ TensorRT plugin: AUTO (where its headers are), ON, OFF")
set(TENSORRT_ROOT "" CACHE PATH "Folder with include/NvInferRuntime.h")

if(NOT EDGEAFF_TENSORRT STREQUAL "OFF")
  find_path(EDGEAFF_NVINFER_INCLUDE NvInferRuntime.h
    HINTS ${TENSORRT_ROOT} $ENV{TENSORRT_ROOT} PATH_SUFFIXES include
    PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} /usr/local/TensorRT /opt/tensorrt)
  if(EDGEAFF_NVINFER_INCLUDE AND TARGET edgeaff_cuda)
    add_library(edgeaff_tensorrt SHARED csrc/tensorrt/cross_modal_attention_plugin.cc $<TARGET_OBJECTS:edgeaff_cuda>)
    target_compile_definitions(edgeaff_tensorrt PRIVATE EDGEAFF_WITH_CUDA=1)
    target_compile_options(edgeaff_tensorrt PRIVATE -O2 -Wall -Wextra -Wno-deprecated-declarations)
    target_include_directories(edgeaff_tensorrt PRIVATE csrc/include csrc)
    target_include_directories(edgeaff_tensorrt SYSTEM PRIVATE ${EDGEAFF_NVINFER_INCLUDE})
    target_link_libraries(edgeaff_tensorrt PRIVATE CUDA::cudart_static)
    set(EDGEAFF_WITH_TENSORRT ON)
  elseif(EDGEAFF_TENSORRT STREQUAL "ON")
    message(FATAL_ERROR
      "EDGEAFF_TENSORRT must find NvInferRuntime.h and a CUDA build when ON, got include '${EDGEAFF_NVINFER_INCLUDE}', CUDA "
      "${EDGEAFF_WITH_CUDA}; set TENSORRT_ROOT, or leave it AUTO: the Python plugin needs no headers.")
  endif()
endif()
message(STATUS "edgeaff: TensorRT plugin ${EDGEAFF_TENSORRT} -> ${EDGEAFF_WITH_TENSORRT} [${EDGEAFF_NVINFER_INCLUDE}]")
