/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

void mq_map_f32(const float *x, float *y, uint32_t n, mq_function f, const float *parameters) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = f(x[i], parameters);
    }
}
