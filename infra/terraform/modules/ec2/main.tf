
locals {
  iam  = "${path.module}/../../../iam"
  tags = merge(var.tags, { Name = var.name })
}

resource "aws_launch_template" "worker" {
  name_prefix            = "hpo-pipe-${var.name}-"
  description            = "Workers of hpo-pipe: they end themselves"
  update_default_version = true
  image_id               = var.image_id
  instance_type          = var.instance_types[0]
  user_data              = base64encode(var.user_data)
  vpc_security_group_ids = var.security_group_ids
  tags                   = var.tags

  # A worker that is done, idle or interrupted shuts its machine down, and nothing is left that costs.
  instance_initiated_shutdown_behavior = "terminate"

  iam_instance_profile {
    arn = var.instance_profile_arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = var.hop_limit
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = var.root_device

    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume", "network-interface"]

    content {
      resource_type = tag_specifications.value
      tags          = local.tags
    }
  }
}

resource "aws_autoscaling_group" "workers" {
  count = var.group == null ? 0 : 1

  name                = "hpo-pipe-${var.name}"
  min_size            = 0
  max_size            = var.group.max_size
  desired_capacity    = 0
  vpc_zone_identifier = var.subnet_ids
  capacity_rebalance  = var.group.capacity_rebalance

  # Machines leave the group when they end, and lower its size by that: a launcher sets it anew.
  lifecycle {
    ignore_changes = [desired_capacity]
  }

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = var.group.on_demand
      on_demand_percentage_above_base_capacity = 0
      spot_allocation_strategy                 = "price-capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.worker.id
        version            = aws_launch_template.worker.latest_version
      }

      dynamic "override" {
        for_each = var.instance_types

        content {
          instance_type = override.value
        }
      }
    }
  }

  dynamic "tag" {
    for_each = local.tags

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
}

# Leaving with a lower size: a group fills what only shuts down.
resource "aws_iam_role_policy" "leave" {
  count = var.group == null ? 0 : 1

  name = "leave-${var.name}"
  role = var.group.worker_role_name
  policy = templatefile("${local.iam}/auto-scaling-group.json.tmpl", {
    auto_scaling_group_arn = aws_autoscaling_group.workers[0].arn
  })
}
