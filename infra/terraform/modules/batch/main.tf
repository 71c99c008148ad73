data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition          = data.aws_partition.current.partition
  iam                = "${path.module}/../../../iam"
  security_group_ids = length(var.security_group_ids) > 0 ? var.security_group_ids : aws_security_group.workers[*].id
  environments = merge(
    { spot = { type = "SPOT", strategy = "SPOT_PRICE_CAPACITY_OPTIMIZED", max_vcpus = var.max_vcpus } },
    var.on_demand_max_vcpus == 0 ? {} : {
      on-demand = { type = "EC2", strategy = "BEST_FIT_PROGRESSIVE", max_vcpus = var.on_demand_max_vcpus }
    },
  )
  order = [for kind in ["spot", "on-demand"] : kind if contains(keys(local.environments), kind)]

  # AWS Batch takes a machine's user data as MIME parts only.
  user_data = <<-EOT
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="hpo-pipe"

    --hpo-pipe
    Content-Type: text/x-shellscript; charset="us-ascii"

    #!/bin/sh
    cat >>/etc/ecs/ecs.config <<'EOF'
    ECS_CONTAINER_STOP_TIMEOUT=${var.stop_seconds}s
    ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
    EOF
    --hpo-pipe--
  EOT
}

resource "aws_security_group" "workers" {
  count = length(var.security_group_ids) > 0 ? 0 : 1

  name_prefix = "${var.name}-"
  description = "Workers of hpo-pipe: nothing comes in"
  vpc_id      = var.vpc_id
  tags        = var.tags

  egress {
    description      = "S3, ECS, ECR and logs"
    from_port        = 443
    to_port          = 443
    protocol         = "tcp"
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

# What a machine itself does: join the cluster, pull images, write logs. Workers have a role of their own.
resource "aws_iam_role" "instance" {
  name_prefix = "${substr(var.name, 0, 28)}-batch-"
  description = "Machines of the compute environments of ${var.name}"
  tags        = var.tags

  assume_role_policy = templatefile("${local.iam}/trust.json.tmpl", { service = "ec2.${data.aws_partition.current.dns_suffix}" })
}

resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instance" {
  name_prefix = "${substr(var.name, 0, 28)}-batch-"
  role        = aws_iam_role.instance.name
  tags        = var.tags
}

resource "aws_launch_template" "machine" {
  name_prefix            = "${var.name}-batch-"
  description            = "Machines of the compute environments of ${var.name}"
  update_default_version = true
  user_data              = base64encode(local.user_data)
  tags                   = var.tags

  # Jobs share the machine's network, so that one hop reaches the notice of an interruption.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = var.name })
  }
}

resource "aws_batch_compute_environment" "this" {
  for_each = local.environments

  compute_environment_name_prefix = "${var.name}-${each.key}-"
  type                            = "MANAGED"
  state                           = "ENABLED"
  service_role                    = var.service_role_arn
  tags                            = var.tags

  # No bid: an interruption for the price's sake is what the on-demand price, the default, avoids.
  # Spot needs no fleet role with this strategy.
  compute_resources {
    type                = each.value.type
    allocation_strategy = each.value.strategy
    min_vcpus           = 0
    max_vcpus           = each.value.max_vcpus
    instance_type       = var.instance_types
    instance_role       = aws_iam_instance_profile.instance.arn
    subnets             = var.subnet_ids
    security_group_ids  = local.security_group_ids
    tags                = merge(var.tags, { Name = var.name })

    launch_template {
      launch_template_id = aws_launch_template.machine.id
      version            = "$Latest" # at the time that the environment is made
    }

    dynamic "ec2_configuration" {
      for_each = var.image_type == null ? [] : [var.image_type]

      content {
        image_type = ec2_configuration.value
      }
    }
  }

  # A template that changes makes new environments: the provider cannot plan an update to a version that is not known
  # yet. The old ones go when the queue has left them; workers on them are interrupted, and what they held goes on.
  lifecycle {
    create_before_destroy = true
    replace_triggered_by  = [aws_launch_template.machine.latest_version]
    ignore_changes        = [compute_resources[0].desired_vcpus]
  }

  # Destroyed after it: without its rights an environment stays in DELETING for ever.
  depends_on = [aws_iam_role_policy_attachment.instance]
}

resource "aws_batch_job_queue" "this" {
  name     = var.name
  state    = "ENABLED"
  priority = 1
  tags     = var.tags

  dynamic "compute_environment_order" {
    for_each = local.order

    content {
      order               = compute_environment_order.key + 1
      compute_environment = aws_batch_compute_environment.this[compute_environment_order.value].arn
    }
  }

  dynamic "job_state_time_limit_action" {
    for_each = ["MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"]

    content {
      action           = "CANCEL"
      state            = "RUNNABLE"
      max_time_seconds = var.runnable_seconds
      reason           = job_state_time_limit_action.value
    }
  }
}

resource "aws_cloudwatch_log_group" "workers" {
  name              = "/hpo-pipe/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}
