# For find_package(eplb): the target eplb::eplb, which adds the folder of eplb.h, and eplb_CUDA_SOURCE, the file for nvcc.
# They are found from here, so an installed tree may be moved.
get_filename_component(eplb_here "${CMAKE_CURRENT_LIST_DIR}" REALPATH) # /lib may be a link to /usr/lib
get_filename_component(eplb_include "${eplb_here}/../../../include" ABSOLUTE)

if(NOT TARGET eplb::eplb)
    add_library(eplb::eplb INTERFACE IMPORTED)
    set_target_properties(eplb::eplb PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${eplb_include}")
endif()
set(eplb_CUDA_SOURCE "${eplb_include}/eplb_cuda.cu")
