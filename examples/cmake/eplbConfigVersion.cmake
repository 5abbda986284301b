# The version that is installed, from the header itself. It serves those who ask for it or an older one of the same major
# version, before 1.0 of the same minor one, or for a range that has it.
get_filename_component(eplb_here "${CMAKE_CURRENT_LIST_DIR}" REALPATH)
file(STRINGS "${eplb_here}/../../../include/eplb.h" eplb_line REGEX "^#define EPLB_VERSION_STRING")
string(REGEX MATCH "([0-9]+)[.]([0-9]+)[.][0-9]+" PACKAGE_VERSION "${eplb_line}")
set(eplb_series "${CMAKE_MATCH_1}")
set(eplb_asked "${PACKAGE_FIND_VERSION_MAJOR}")
if(eplb_series EQUAL 0)
    set(eplb_series "0.${CMAKE_MATCH_2}")
    set(eplb_asked "${PACKAGE_FIND_VERSION_MAJOR}.${PACKAGE_FIND_VERSION_MINOR}")
endif()

set(PACKAGE_VERSION_COMPATIBLE FALSE)
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
    # too old
elseif(PACKAGE_FIND_VERSION_RANGE)
    if(PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION_MAX OR
            (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "INCLUDE" AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX))
        set(PACKAGE_VERSION_COMPATIBLE TRUE)
    endif()
elseif(eplb_asked VERSION_EQUAL eplb_series)
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
endif()
