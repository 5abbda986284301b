# test_install.sh - the library as others build with it: installed to an empty folder and found by pkg-config and by
# CMake, within a CMake project, fetched as an archive that is the same bytes each time.
. tests/check/check.sh
CC=${CC:-cc}
CXX=${CXX:-c++}
version=$(sed -n 's/^#define EPLB_VERSION_STRING *"\(.*\)"/\1/p' eplb.h)
once_sh=$PWD/tests/support/compile_once.sh # the same sources are compiled from many places
mkdir "$TMP/objects"
export CMAKE_BUILD_TYPE= CC CXX
export CMAKE_C_COMPILER_LAUNCHER="sh;$once_sh;$TMP/objects" CMAKE_CXX_COMPILER_LAUNCHER="sh;$once_sh;$TMP/objects"
CFLAGS_OF_TESTS=$CFLAGS
unset CFLAGS CXXFLAGS MAKEFLAGS MAKELEVEL DESTDIR PREFIX

make_target() { # arguments of make
    make -s HAVE_MPI=0 HAVE_ZLIB=0 "$@"
}
files() { # folder: all files in it
    (cd "$1" && find . ! -type d | LC_ALL=C sort)
}
prints_plan() { # program: the plan that the README has of the same loads
    $RUN_ENV "$1" | grep -x 'EPLB_OK: 10 11 10 11 5 9 5 2 1 7 4 9 0 6 8 3'
}
fenced() { # language, page: the first such block
    awk -v fence="\`\`\`$1" '$0 == fence && !seen { inside = seen = 1; next } /^```/ { inside = 0 } inside' "${2:-README.md}"
}

# ---------------------------------------------------------------- install

prefix=$TMP/usr
cat >"$TMP/expected_files" <<'END_OF_FILES'
./include/eplb.h
./include/eplb_cuda.cu
./include/eplb_cuda.h
./lib/cmake/eplb/eplbConfig.cmake
./lib/cmake/eplb/eplbConfigVersion.cmake
./lib/pkgconfig/eplb.pc
END_OF_FILES
check 'make install installs' sh -c "umask 077; make -s HAVE_MPI=0 HAVE_ZLIB=0 install PREFIX='$prefix'"
files "$prefix" >"$TMP/files"
check 'six files' diff "$TMP/expected_files" "$TMP/files"
check 'which all may read' test -z "$(find "$prefix" -type f ! -perm 644 -o -type d ! -perm 755)"
check 'the header is as it was' cmp eplb.h "$prefix/include/eplb.h"
check 'make install stages under DESTDIR' make_target install PREFIX=/opt/eplb "DESTDIR=$TMP/a stage"
files "$TMP/a stage/opt/eplb" >"$TMP/files"
check 'the same files' diff "$TMP/expected_files" "$TMP/files"
check 'which know where they will be' grep -x 'prefix=/opt/eplb' "$TMP/a stage/opt/eplb/lib/pkgconfig/eplb.pc"
relative() { ! make_target install PREFIX=relative "DESTDIR=$TMP/"; }
check 'a relative PREFIX is refused' relative
check 'make uninstall runs' make_target uninstall PREFIX=/opt/eplb "DESTDIR=$TMP/a stage"
check 'and leaves no file' test -z "$(find "$TMP/a stage" -type f -o -name eplb -type d -path '*cmake*')"

# ---------------------------------------------------------------- pkg-config

once() { sh "$once_sh" "$TMP/objects" "$@"; } # compiler and arguments
compile_with_flags() { # in an empty folder, with the sources of the app and nothing else
    mkdir -p "$TMP/by_flags" && cp examples/cmake/app/*.c* "$TMP/by_flags" && (
        cd "$TMP/by_flags" && flags=$(pkg-config --cflags eplb) &&
            once $CC -std=gnu99 $flags -c -o eplb.o eplb.c &&
            once $CC -std=gnu99 $flags -c -o plan_c.o plan.c &&
            once $CXX -std=gnu++11 $flags -c -o plan_cpp.o plan.cpp &&
            $CC -o plan_c plan_c.o eplb.o &&
            $CXX -o plan_cpp plan_cpp.o eplb.o
    )
}
finds_cuda_source() { test -f "$(pkg-config --variable=cuda_source eplb)"; }
if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH="$prefix/lib/pkgconfig" PKG_CONFIG_LIBDIR="$prefix/lib/pkgconfig"
    check 'pkg-config knows the version' test "$(pkg-config --modversion eplb)" = "$version"
    check 'what pkg-config says compiles C and C++' compile_with_flags
    check 'and the C program runs' prints_plan "$TMP/by_flags/plan_c"
    check 'and the C++ program' prints_plan "$TMP/by_flags/plan_cpp"
    check 'it knows where the file for nvcc is' finds_cuda_source
else
    echo 'pkg-config: skipped, there is none'
fi

# ---------------------------------------------------------------- archive

archive=eplb-$version.tar.gz
check 'the page names the archive of this version' sh -c "! grep -o 'eplb-[0-9.]*[.]tar[.]gz' examples/README.md | grep -v -x $archive"
check 'and it does name it' grep -q "eplb-$version[.]tar[.]gz" examples/README.md
mkdir "$TMP/here" "$TMP/there" "$TMP/unpacked"
check 'make dist packs' make_target dist "BUILD=$TMP/here"
check 'its checksum holds' sh -c "cd '$TMP/here' && sha256sum -c $archive.sha256"
check 'make dist packs elsewhere' sh -c "umask 077; TZ=Asia/Tokyo LC_ALL=C make -s HAVE_MPI=0 HAVE_ZLIB=0 dist BUILD='$TMP/there'"
check 'the same bytes' cmp "$TMP/here/$archive" "$TMP/there/$archive"
check 'the archive unpacks' tar -xzf "$TMP/here/$archive" -C "$TMP/unpacked"
unpacked=$TMP/unpacked/eplb-$version
check 'to what is here' sh -c "(cd '$unpacked' && find . -type f -exec sha256sum {} +) | sha256sum --quiet -c"
check 'with all that make needs' test -f "$unpacked/Makefile" -a -f "$unpacked/tests/run.sh" -a -f "$unpacked/.ci/run"
check 'what was unpacked packs' make_target -C "$unpacked" dist BUILD=build
check 'to the same bytes again' cmp "$TMP/here/$archive" "$unpacked/build/$archive"
copies_pack() { # later files, read by nobody else, of a time that is said
    (umask 077 && cp -R "$unpacked" "$TMP/copied") && rm -rf "$TMP/copied/build" && touch "$TMP/copied/README.md" &&
        SOURCE_DATE_EPOCH=$(date -r "$unpacked/eplb.h" +%s) make_target -C "$TMP/copied" dist BUILD=build &&
        cmp "$TMP/here/$archive" "$TMP/copied/build/$archive"
}
check 'and so does a later copy of it' copies_pack

# ---------------------------------------------------------------- CMake

configure() { # source, build folder, options
    cmake_source=$1
    cmake_build=$2
    shift 2
    cmake -S "$cmake_source" -B "$cmake_build" -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF "$@"
}
builds() { # source, build folder, options
    configure "$@" && cmake --build "$2"
}
project() { # name, what it says of where eplb comes from: one C program, the README's
    mkdir "$TMP/$1" && fenced c >"$TMP/$1/main.c" && {
        echo 'cmake_minimum_required(VERSION 3.18)'
        echo 'project(user LANGUAGES C)'
        printf '%s\n' "$2"
        echo 'add_executable(user main.c)'
        echo 'target_link_libraries(user PRIVATE eplb::eplb)'
        echo 'if(NOT EXISTS "${eplb_CUDA_SOURCE}")'
        echo '    message(FATAL_ERROR "no eplb_CUDA_SOURCE")'
        echo 'endif()'
    } >"$TMP/$1/CMakeLists.txt" && builds "$TMP/$1" "$TMP/$1/build" && prints_as_readme "$TMP/$1/build/user"
}
prints_as_readme() { # program
    fenced text >"$TMP/expected" && $RUN_ENV "$1" >"$TMP/printed" && diff "$TMP/expected" "$TMP/printed"
}
finds() { # prefix, version: whether CMake finds one there that will do, and its files
    rm -rf "$TMP/finds" && mkdir "$TMP/finds" && {
        echo 'cmake_minimum_required(VERSION 3.19)'
        echo 'project(finds LANGUAGES NONE)'
        echo "find_package(eplb $2 REQUIRED)"
        echo 'get_target_property(include eplb::eplb INTERFACE_INCLUDE_DIRECTORIES)'
        echo 'if(NOT EXISTS "${include}/eplb.h" OR NOT EXISTS "${eplb_CUDA_SOURCE}")'
        echo '    message(FATAL_ERROR "no files in ${include}")'
        echo 'endif()'
    } >"$TMP/finds/CMakeLists.txt" && configure "$TMP/finds" "$TMP/finds/build" "-DCMAKE_PREFIX_PATH=$1"
}
is_refused() { ! finds "$prefix" "$1"; }
without_cmake=''
case $CFLAGS_OF_TESTS in *sanitize*) without_cmake='no sanitizer is in what it builds' ;; esac
command -v cmake >/dev/null || without_cmake='there is none'
if [ -n "$without_cmake" ]; then
    echo "CMake: skipped, $without_cmake"
else
    check 'examples/cmake builds' builds examples/cmake "$TMP/in_tree"
    check 'its C program runs' prints_plan "$TMP/in_tree/app/plan_c"
    check 'and its C++ program' prints_plan "$TMP/in_tree/app/plan_cpp"
    check 'cmake installs' cmake --install "$TMP/in_tree" --prefix "$TMP/by_cmake"
    grep -v pkgconfig "$TMP/expected_files" >"$TMP/expected"
    files "$TMP/by_cmake" >"$TMP/files"
    check 'what make does, but for eplb.pc' diff "$TMP/expected" "$TMP/files"

    mkdir -p "$TMP/moved/usr" && mv "$TMP/by_cmake/include" "$TMP/by_cmake/lib" "$TMP/moved/usr" && ln -s usr/lib "$TMP/moved/lib"
    check 'an installed tree may be moved' finds "$TMP/moved/usr" ''
    check 'and be found where /lib is a link to /usr/lib' finds "$TMP/moved" ''
    cp -R examples/cmake/app "$TMP/app"
    check 'the app builds by itself with what make installed' builds "$TMP/app" "$TMP/found" "-DCMAKE_PREFIX_PATH=$prefix"
    check 'and its C program runs' prints_plan "$TMP/found/plan_c"
    check 'and its C++ program' prints_plan "$TMP/found/plan_cpp"
    check 'add_subdirectory does' project subdirectory "add_subdirectory(\"$unpacked/examples/cmake\" eplb)"
    check 'FetchContent does, of the archive' project fetched "include(FetchContent)
FetchContent_Declare(eplb URL \"$TMP/here/$archive\" URL_HASH SHA256=$(cut -d ' ' -f 1 "$TMP/here/$archive.sha256")
                     SOURCE_SUBDIR examples/cmake)
FetchContent_MakeAvailable(eplb)"
    mkdir "$TMP/readme"
    fenced c >"$TMP/readme/main.c"
    fenced cmake examples/README.md >"$TMP/readme/CMakeLists.txt"
    check 'the lines for CMake build the README'\''s program' builds "$TMP/readme" "$TMP/readme/build" "-DCMAKE_PREFIX_PATH=$prefix"
    check 'which prints what it says' prints_as_readme "$TMP/readme/build/main"

    major=${version%%.*}
    minor=${version#*.}
    minor=${minor%%.*}
    for good in "$major.$minor" "$version EXACT" "$version" "0.0.1...$version" "0.0.1...<$((major + 1))"; do
        check "CMake finds eplb $good" finds "$prefix" "$good"
    done
    for bad in "$major.$((minor + 1))" "$version.1" "$((major + 1))" "0.0.1...<$version" "$major.$minor.99 EXACT"; do
        check "and none that is eplb $bad" is_refused "$bad"
    done
    [ "$major" -gt 0 ] || check 'before 1.0 a new minor version is another' is_refused "0.$((minor - 1))"
fi
report test_install
