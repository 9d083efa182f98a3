/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_thresholded_relu(float x, const float *parameters) {
    return x > parameters[0] ? x : 0.0f;
}
