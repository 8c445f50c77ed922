# Writes sources.json into the build folder: what this build compiles, for builds by other tools. Paths are relative to cbackend.
# SPDX-License-Identifier: Apache-2.0
function(quote_list variable) # "a", "b" for JSON
  string(REPLACE "\"" "\\\"" quoted "${${variable}}")
  list(TRANSFORM quoted REPLACE "^(.+)$" "\"\\1\"")
  list(JOIN quoted ", " quoted)
  set(${variable} "${quoted}" PARENT_SCOPE)
endfunction()

get_target_property(definitions wisp_core COMPILE_DEFINITIONS)
get_target_property(shared wisp_flags INTERFACE_COMPILE_DEFINITIONS)
list(APPEND definitions ${shared})
list(FILTER definitions EXCLUDE REGEX "NOTFOUND|^\\$<") # none; for the shared library of Windows
quote_list(definitions)
list(REMOVE_DUPLICATES needed)
set(system ${needed})
quote_list(system)

set(groups "")
foreach(group core ${isas})
  get_target_property(sources wisp_${group} SOURCES)
  list(TRANSFORM sources REPLACE "^${CMAKE_CURRENT_SOURCE_DIR}/" "")
  quote_list(sources)
  list(APPEND groups "{\"name\": \"${group}\",
   \"flags\": [\"-std=c11\", \"$<JOIN:$<TARGET_PROPERTY:wisp_${group},COMPILE_OPTIONS>,\", \">\"],
   \"sources\": [${sources}]}")
endforeach()
list(JOIN groups ",\n  " groups)

file(GENERATE OUTPUT sources.json CONTENT "{\"version\": \"${PROJECT_VERSION}\",
 \"include_folders\": [\"include\", \"src\"],
 \"definitions\": [${definitions}],
 \"libraries\": [${system}],
 \"groups\": [
  ${groups}
 ]}
")
