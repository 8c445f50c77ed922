/* Classifies on a microcontroller: a .wisp file in flash, all memory static, the result as text. In this folder:
 * make run MODEL=model.wisp BOARD=m4 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"
#include "model.h"
#include "wisp.h"

/* Session and arena, as `wisp inspect` states them (session_bytes, arena_bytes for one thread). */
static _Alignas(WISP_ALIGNMENT) uint8_t session_memory[SESSION_SIZE];
static _Alignas(WISP_ALIGNMENT) __attribute__((section(".arena"))) uint8_t arena[ARENA_SIZE];

static int stop(const wisp_error *error) {
    print_text("wisp: ");
    print_text(error->message);
    print_text("\n");
    return 1;
}

/* Stands for a camera or a microphone: a slow wave, f32 in 0..255 or int8. */
static void read_sensor(wisp_session *session) {
    wisp_tensor_info info;
    wisp_session_input_info(session, 0, &info);
    void *input = wisp_input_data(session, 0);
    const uint32_t count = (uint32_t)(info.dtype == WISP_F32 ? info.size / 4 : info.size);
    for (uint32_t i = 0; i < count; i++) {
        const int32_t value = (int32_t)(i / 7 * 5 & 255);
        if (info.dtype == WISP_F32)
            ((float *)input)[i] = (float)value;
        else
            ((int8_t *)input)[i] = (int8_t)(value - 128);
    }
}

static uint32_t largest(const wisp_session *session) {
    wisp_tensor_info info;
    wisp_session_output_info(session, 0, &info);
    const void *output = wisp_output_data(session, 0);
    const uint32_t count = (uint32_t)(info.dtype == WISP_F32 ? info.size / 4 : info.size);
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (info.dtype == WISP_F32 ? ((const float *)output)[i] > ((const float *)output)[best]
                                   : ((const int8_t *)output)[i] > ((const int8_t *)output)[best])
            best = i;
    return best;
}

int main(void) {
    wisp_model model;
    wisp_session *session;
    wisp_error error;
    if (wisp_open(&model, model_file, (size_t)(model_file_end - model_file), &error)) return stop(&error);
    if (wisp_prepare(&model, NULL, session_memory, sizeof session_memory, &session, &error)) return stop(&error);
    if (wisp_bind(session, arena, sizeof arena, &error)) return stop(&error);
    read_sensor(session);
    if (wisp_run(session, &error)) return stop(&error);
    print_text("class ");
    print_number(largest(session));
    print_text("\n");
    return 0;
}
