# What others use: targets wisp::wisp and wisp::static, here and once installed; find_package(wisp); pkg-config.
# SPDX-License-Identifier: Apache-2.0
include(CMakePackageConfigHelpers)

add_library(wisp::static ALIAS wisp_static)
set_target_properties(wisp_static PROPERTIES EXPORT_NAME static)
if(TARGET wisp_shared)
  add_library(wisp::wisp ALIAS wisp_shared)
  set_target_properties(wisp_shared PROPERTIES EXPORT_NAME wisp)
else() # there is but one kind
  add_library(wisp::wisp ALIAS wisp_static)
endif()
if(NOT WISP_INSTALL)
  return()
endif()

install(TARGETS ${libraries} EXPORT wisp)
install(FILES include/wisp.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/wisp)
configure_file(cmake/wisp-config.cmake.in wisp-config.cmake @ONLY)
write_basic_package_version_file(wisp-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT wisp FILE wisp-targets.cmake NAMESPACE wisp:: DESTINATION ${package})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/wisp-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/wisp-config-version.cmake DESTINATION ${package})

# Paths from where wisp.pc lies: an installed tree may be moved.
file(RELATIVE_PATH include ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
list(TRANSFORM needed PREPEND -l)
list(JOIN needed " " needed)
configure_file(cmake/wisp.pc.in wisp.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/wisp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
