/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_sign(float x, const float *parameters) {
    (void)parameters;
    return x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : x);
}
