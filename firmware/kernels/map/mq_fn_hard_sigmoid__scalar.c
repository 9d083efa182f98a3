/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_hard_sigmoid(float x, const float *parameters) {
    const float v = parameters[0] * x + parameters[1];
    return v < 0.0f ? 0.0f : (v > 1.0f ? 1.0f : v);
}
