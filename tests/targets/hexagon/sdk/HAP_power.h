/* Stand-in for the SDK's header: the names the remote-call front uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SDK_HAP_POWER_H
#define WISP_SDK_HAP_POWER_H

typedef enum { HAP_power_set_HVX = 7 } HAP_Power_request_type;
typedef struct {
    unsigned char power_up;
} HAP_power_hvx_payload;
typedef struct {
    HAP_Power_request_type type;
    union {
        HAP_power_hvx_payload hvx;
    };
} HAP_power_request_t;

int HAP_power_set(void *context, HAP_power_request_t *request);

#endif
