/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_leaky_relu(float x, const float *parameters) {
    return x < 0.0f ? parameters[0] * x : x;
}
