/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_shrink(float x, const float *parameters) {
    return x < -parameters[1] ? x + parameters[0] : (x > parameters[1] ? x - parameters[0] : 0.0f);
}
