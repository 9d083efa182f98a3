/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

#include "mq_float.h"

void mq_set_32(void *y, uint32_t bits, uint32_t n) {
    const float value = mq_float_of(bits);
    float *to = (float *)y;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = value;
    }
}
