/* checkasm without a command line: tests everything with one seed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

int checkasm_main(int argc, char **argv);

int main(void) {
    char name[] = "checkasm", *arguments[] = {name, (char *)0};
    return checkasm_main(1, arguments);
}
