/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

float mq_fold_sum(float acc, float x) {
    return acc + x;
}
