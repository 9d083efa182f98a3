/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_hard_swish(float x, const float *parameters) {
    (void)parameters;
    const float v = x * 0.166666667f + 0.5f;
    return x * (v < 0.0f ? 0.0f : (v > 1.0f ? 1.0f : v));
}
